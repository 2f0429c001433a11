//! The real template, deployed by `sam deploy`, with the real binaries, under enforced IAM.

#![allow(clippy::unwrap_used, reason = "helpers of tests: a panic is a failed test")]

use std::sync::{Mutex, PoisonError};

use cluster_stage::{
    alert_story, backup_story, cluster::Build, discovery_story, drain_story, given_zone, narrator::Narrator,
    operations, story, variants,
};

/// Builds and logs have one place each.
static STAGE: Mutex<()> = Mutex::new(());

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap()
}

/// The story that `make demo` tells, with what `sam build` makes. All others deploy what cargo built with the tests.
#[test]
fn the_whole_story_holds_from_the_deployment_to_the_deletion() {
    let _alone = STAGE.lock().unwrap_or_else(PoisonError::into_inner);
    let mut narrator = Narrator::new();
    let told = runtime().block_on(story::play(Build::Sam, &mut narrator));
    narrator.summary();
    told.unwrap();
}

/// The days that `make demo` ends with.
#[test]
fn days_of_backups_are_taken_and_pruned_and_their_end_is_noticed() {
    let mut narrator = Narrator::new();
    let told = runtime().block_on(backup_story::play(&mut narrator));
    narrator.summary();
    told.unwrap();
}

/// The hour that comes before its end.
#[test]
fn an_hour_of_alarms_reaches_whom_it_should_and_nobody_else() {
    let mut narrator = Narrator::new();
    let told = runtime().block_on(alert_story::play(&mut narrator));
    narrator.summary();
    told.unwrap();
}

#[test]
fn each_shape_of_the_cluster_can_be_deleted_in_each_state() {
    let _alone = STAGE.lock().unwrap_or_else(PoisonError::into_inner);
    runtime().block_on(variants::play(&mut Narrator::new())).unwrap();
}

/// Discovery serves any pair of ECS services.
#[test]
fn discovery_alone_holds_from_the_deployment_to_the_deletion() {
    let _alone = STAGE.lock().unwrap_or_else(PoisonError::into_inner);
    let mut narrator = Narrator::new();
    let told = runtime().block_on(discovery_story::play(&mut narrator));
    narrator.summary();
    told.unwrap();
}

/// Draining serves any ECS cluster.
#[test]
fn draining_alone_lets_nothing_go_with_a_task() {
    let _alone = STAGE.lock().unwrap_or_else(PoisonError::into_inner);
    let mut narrator = Narrator::new();
    let told = runtime().block_on(drain_story::play(&mut narrator));
    narrator.summary();
    told.unwrap();
}

#[test]
fn a_given_zone_serves_as_well_and_keeps_what_others_wrote() {
    let _alone = STAGE.lock().unwrap_or_else(PoisonError::into_inner);
    runtime().block_on(given_zone::play(&mut Narrator::new())).unwrap();
}

/// With the real AWS CLI.
#[test]
fn the_commands_of_the_readme_do_what_it_says() {
    let _alone = STAGE.lock().unwrap_or_else(PoisonError::into_inner);
    runtime().block_on(operations::play(&mut Narrator::new())).unwrap();
}
