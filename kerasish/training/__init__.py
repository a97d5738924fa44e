"""How a model is trained: losses and metrics of all outputs, one step, the loops around it, and the methods of a model."""
