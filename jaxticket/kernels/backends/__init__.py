"""Who computes with sparse weights: XLA, and Pallas kernels for TPUs and GPUs."""
