"""Sound of any kind in, 16 kHz mono float32 and log-mel spectrograms out."""
