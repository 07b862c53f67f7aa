"""What panels show: states computed from requests and counters, without any drawing."""
