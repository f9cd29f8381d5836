"""Regroup: the survivors of an unstructured mask become dense blocks of rows with the same columns."""
