"""The in-tree serverful systems in virtual time: their real batchers and placement, driven by a
virtual clock and a device profile."""
