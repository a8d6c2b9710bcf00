"""How far simulated runs are from the live runs that they model."""
