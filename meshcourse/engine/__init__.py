"""Which upstream programs the embedded cluster is made of, and building, finding and packing them."""
