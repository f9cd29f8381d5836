"""Data of one's own, by a name such as `folder:pets`: one file for each scheme, and what all of them share."""
