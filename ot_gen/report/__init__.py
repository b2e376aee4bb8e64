"""What is read out of the folders of many runs: tables, and one self-contained page that compares them."""
