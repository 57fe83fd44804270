"""The tests of queuectl; folders mirror the packages."""
