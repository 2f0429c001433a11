//! Clusters of cores come and go: stories of the real function and the real templates against the modelled AWS.

mod boot;
mod deletion;
mod lease;
mod pages;
mod replacement;
mod requests;
mod roll;
