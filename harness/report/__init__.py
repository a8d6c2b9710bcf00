"""What people read: tables here, pages and figures from the same records."""
