"""How `shrink` finds what is constant, cuts it out of the parameters and runs the same code with what is left."""
