"""A server of one function with transformers and peft, as they come."""
