"""What is sent: functions, requests and where they come from. Knows nothing of who serves them."""
