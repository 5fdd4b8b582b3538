"""From a model to a training step: formulations, objectives, optimisers, checkpoints."""
