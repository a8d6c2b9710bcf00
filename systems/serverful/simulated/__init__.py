"""The in-tree serverful systems in virtual time: their own batchers and placement, fed from a
clock and a device profile."""
