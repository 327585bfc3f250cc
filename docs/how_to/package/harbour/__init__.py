"""A package of one's own: one class and one YAML file for everything that it adds."""
