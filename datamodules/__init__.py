"""Turns files on disk into batches: readers, sampling, geometry, records and the LightningDataModules."""
