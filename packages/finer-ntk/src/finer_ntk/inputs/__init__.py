"""What is looked at: a network (`networks`) on points (`points`)."""
