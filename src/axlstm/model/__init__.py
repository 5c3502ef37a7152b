"""Encode masked log-mel patches: AxLSTM, and SSAST, its transformer twin."""
