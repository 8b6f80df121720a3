"""Training a radiance field: rays, carving, the objective, the plan, and the fit."""
