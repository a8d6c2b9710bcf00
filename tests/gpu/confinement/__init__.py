"""Tools that find out what the driver of a GPU needs inside the sandbox, and which measures hold:

python -m tests.gpu.confinement
"""
