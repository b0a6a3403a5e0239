//! Full disks, and disks that fail.
