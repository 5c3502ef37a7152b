"""Use the models with Hugging Face transformers: after ``import axlstm.hf`` its Auto classes know them.

Folders are axlstm's own, read and written as `axlstm.load_model` does. Nothing found in one is executed.
"""

from __future__ import annotations

from axlstm.errors import ConfigError

try:
    import transformers
except ImportError as error:
    raise ConfigError('axlstm.hf needs transformers: pip install "axlstm[hf]"') from error

from axlstm.hf.config import AxLSTMConfig
from axlstm.hf.features import AxLSTMFeatureExtractor
from axlstm.hf.heads import AxLSTMForAudioClassification, AxLSTMForPreTraining
from axlstm.hf.model import AxLSTMModel

__all__ = [
    "AxLSTMConfig",
    "AxLSTMFeatureExtractor",
    "AxLSTMForAudioClassification",
    "AxLSTMForPreTraining",
    "AxLSTMModel",
]

transformers.AutoConfig.register(AxLSTMConfig.model_type, AxLSTMConfig, exist_ok=True)
transformers.AutoFeatureExtractor.register(AxLSTMConfig, AxLSTMFeatureExtractor, exist_ok=True)
transformers.AutoModel.register(AxLSTMConfig, AxLSTMModel, exist_ok=True)
transformers.AutoModelForPreTraining.register(AxLSTMConfig, AxLSTMForPreTraining, exist_ok=True)
transformers.AutoModelForAudioClassification.register(AxLSTMConfig, AxLSTMForAudioClassification, exist_ok=True)
