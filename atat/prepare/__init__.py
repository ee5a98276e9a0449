"""Word times and synthetic speech, made before training."""
