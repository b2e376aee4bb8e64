"""What a run leaves behind and how runs are compared: records, figures, and one self-contained page."""
