"""From files on disk to batches: readers, sampling, geometry, records and the LightningDataModules."""
