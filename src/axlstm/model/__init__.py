"""Encoders over masked log-mel patches: AxLSTM, and SSAST, its transformer twin."""
