"""Compute the mLSTM recurrence and nothing else: one function over several back-ends."""

from axlstm.mlstm.api import backends, mlstm
from axlstm.mlstm.choice import Choice, choose
from axlstm.mlstm.chunkwise import mlstm_chunkwise
from axlstm.mlstm.recurrent import MLSTMState, mlstm_recurrent

__all__ = ["Choice", "MLSTMState", "backends", "choose", "mlstm", "mlstm_chunkwise", "mlstm_recurrent"]
