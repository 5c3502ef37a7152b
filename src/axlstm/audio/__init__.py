"""Turn sound of any kind into 16 kHz mono float32 and log-mel spectrograms."""
