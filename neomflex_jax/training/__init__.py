"""Training: environment, replay and learner in one compiled loop; checkpoints and metrics on the host."""
