"""What docs/reliability.md promises, tried at length and counted: `make reliability`."""
