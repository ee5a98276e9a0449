"""What people and programs use: trained models of any system, in Python and on the command line."""
