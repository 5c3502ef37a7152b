"""Models as files for other runtimes, waveform in, embeddings out; and their use without torch."""
