"""The vector math by function family; vector_math.py is its public face."""
