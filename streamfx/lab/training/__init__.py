"""Training the networks: crops from photos, sampling, losses, recipes and the engine that runs them."""
