"""Write models as files for other runtimes, waveform in, embeddings out; and use them without torch."""
