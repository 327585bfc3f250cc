"""From a configuration to a trained network: the Lightning module, its loss's checks, optimisation, replay."""
