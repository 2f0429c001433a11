//! The real template, deployed by `sam deploy`, with the real binaries: the story that `make demo` tells.

use cluster_tests::{narrator::Narrator, story};

#[test]
fn the_whole_story_holds_from_the_deployment_to_the_deletion() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let mut narrator = Narrator::new();
    let told = runtime.block_on(story::play(&mut narrator));
    narrator.summary();
    told.unwrap();
}
