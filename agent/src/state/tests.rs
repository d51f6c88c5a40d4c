use std::fs;
use std::path::Path;

use super::*;
use crate::pipeline::exec::{Event, Fork, ProcessKey, Time};
use crate::pipeline::process_tree::TreeLimits;

const BOOT: Uuid = Uuid::from_u128(7);
const SOON: Duration = Duration::from_secs(60);

fn keeper(directory: &Path) -> Keeper {
    let settings = StateSettings {
        directory: directory.to_owned(),
        save_interval: SOON,
    };
    Keeper::new(&settings, BOOT)
}

fn grow(tree: &mut ProcessTree, tgid: u32) {
    let key = |tgid| ProcessKey {
        tgid,
        start_ns: u64::from(tgid),
    };
    tree.handle_event(&Event::Fork(Fork {
        time: Time::default(),
        process: key(tgid),
        creator: key(tgid - 1),
    }));
}

fn on_a_loop<T>(future: impl Future<Output = T>) -> T {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.enable_all().build().unwrap().block_on(future)
}

#[test]
fn what_is_saved_is_recalled_and_only_changes_are_saved() {
    let folder = tempfile::tempdir().unwrap();
    let directory = folder.path().join("state");
    let mut tree = ProcessTree::new(TreeLimits::default());
    on_a_loop(async {
        let mut first = keeper(&directory);
        assert!(first.recall(100).is_empty());
        first.save(&tree);
        assert!(!first.processes.is_under_way(), "nothing has happened");
        grow(&mut tree, 2);
        first.save(&tree);
        // While it is written nothing else is.
        grow(&mut tree, 3);
        first.save(&tree);
        first.finished().await;
        assert_eq!(first.counts().saved, 1);
        assert_eq!(keeper(&directory).recall(100).len(), 1);
        let counts = first.close(|keeper| keeper.save(&tree), SOON).await;
        assert_eq!((counts.saved, counts.failed), (2, 0));
    });
    let mut second = keeper(&directory);
    let mut remembered = tree.remembered();
    remembered.sort_by_key(Remembered::age);
    assert_eq!(second.recall(100), remembered);
    assert_eq!(second.counts().recalled, 2);
    let counts = on_a_loop(second.close(
        |keeper| keeper.save(&ProcessTree::new(TreeLimits::default())),
        SOON,
    ));
    assert_eq!(counts.saved, 0, "nothing has happened");
}

#[test]
fn a_directory_that_cannot_be_written_is_counted_and_tried_again() {
    let folder = tempfile::tempdir().unwrap();
    let directory = folder.path().join("state");
    fs::write(&directory, "a file").unwrap();
    let mut tree = ProcessTree::new(TreeLimits::default());
    grow(&mut tree, 2);
    on_a_loop(async {
        let mut keeper = keeper(&directory);
        // ENOTDIR is no missing file.
        assert!(keeper.recall(100).is_empty());
        assert_eq!(keeper.counts().failed, 1);
        keeper.save(&tree);
        keeper.finished().await;
        assert_eq!((keeper.counts().saved, keeper.counts().failed), (0, 2));
        fs::remove_file(&directory).unwrap();
        let counts = keeper.close(|keeper| keeper.save(&tree), SOON).await;
        assert_eq!((counts.saved, counts.failed), (1, 2));
    });
}

#[test]
fn damage_and_other_boots_are_told_apart() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join(processes::FILE_NAME);
    let mut tree = ProcessTree::new(TreeLimits::default());
    for tgid in 2..5 {
        grow(&mut tree, tgid);
    }
    on_a_loop(keeper(folder.path()).close(|keeper| keeper.save(&tree), SOON));
    let recall = |boot_id| {
        let settings = StateSettings {
            directory: folder.path().to_owned(),
            save_interval: SOON,
        };
        let mut keeper = Keeper::new(&settings, boot_id);
        let n = keeper.recall(100).len() as u64;
        assert_eq!(n, keeper.counts().recalled);
        (n, keeper.counts().lines_damaged)
    };
    assert_eq!(recall(BOOT), (3, 0));
    assert_eq!(recall(Uuid::from_u128(8)), (0, 0));
    assert_eq!(recall(Uuid::nil()), (0, 0));
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, text.replace("\n{\"pid\":3,", "\n{\"pid\":-3,")).unwrap();
    assert_eq!(recall(BOOT), (2, 1));
    fs::write(&file, "nonsense\n").unwrap();
    assert_eq!(recall(BOOT), (0, 1));
}

#[test]
fn without_a_boot_id_nothing_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let settings = StateSettings {
        directory: folder.path().to_owned(),
        save_interval: SOON,
    };
    let mut tree = ProcessTree::new(TreeLimits::default());
    grow(&mut tree, 2);
    let counts =
        on_a_loop(Keeper::new(&settings, Uuid::nil()).close(|keeper| keeper.save(&tree), SOON));
    assert_eq!(counts, StateCounts::default());
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

fn listed(generation: u32) -> Result<Listed, Unlisted> {
    Ok(Listed {
        generation,
        messages: Vec::new(),
    })
}

#[test]
fn a_ruleset_is_kept_for_each_generation_and_for_other_boots() {
    let folder = tempfile::tempdir().unwrap();
    on_a_loop(async {
        let mut first = keeper(folder.path());
        assert_eq!(first.recall_ruleset(), None);
        first.save_ruleset(3, Time::default(), || listed(3));
        first.finished().await;
        first.save_ruleset(3, Time::default(), || panic!("it is saved"));
        assert!(!first.ruleset.is_under_way());
        let counts = first.close(
            |keeper| keeper.save_ruleset(4, Time::default(), || listed(4)),
            SOON,
        );
        assert_eq!(counts.await.saved, 2);
    });
    let recall = |boot_id| {
        let settings = StateSettings {
            directory: folder.path().to_owned(),
            save_interval: SOON,
        };
        let recalled = Keeper::new(&settings, boot_id).recall_ruleset().unwrap();
        (recalled.snapshot.generation, recalled.same_boot)
    };
    assert_eq!(recall(BOOT), (4, true));
    assert_eq!(recall(Uuid::from_u128(8)), (4, false));
    assert_eq!(recall(Uuid::nil()), (4, false));
}

#[test]
fn a_ruleset_that_was_not_told_yet_is_not_kept() {
    let folder = tempfile::tempdir().unwrap();
    on_a_loop(async {
        let mut keeper = keeper(folder.path());
        keeper.save_ruleset(3, Time::default(), || listed(4));
        keeper.finished().await;
        assert_eq!(keeper.recall_ruleset(), None);
        assert_eq!(keeper.counts(), StateCounts::default());
        keeper.save_ruleset(3, Time::default(), || listed(3));
        keeper.finished().await;
        assert_eq!(keeper.counts().saved, 1, "the same one is tried again");
    });
}

#[test]
fn a_ruleset_that_is_too_large_is_not_kept_and_said_once() {
    let folder = tempfile::tempdir().unwrap();
    on_a_loop(async {
        let mut keeper = keeper(folder.path());
        keeper.save_ruleset(3, Time::default(), || listed(3));
        keeper.finished().await;
        keeper.save_ruleset(4, Time::default(), || Err(Unlisted::TooLarge));
        keeper.finished().await;
        assert_eq!(keeper.counts().rulesets_refused, 1);
        assert_eq!(keeper.recall_ruleset(), None, "nor is the one before");
        keeper.save_ruleset(4, Time::default(), || listed(4));
        assert!(!keeper.ruleset.is_under_way());
        keeper.save_ruleset(5, Time::default(), || {
            Err(Unlisted::Failed("no".to_owned()))
        });
        keeper.finished().await;
        assert_eq!(keeper.counts().failed, 1);
    });
}

#[test]
fn a_damaged_ruleset_is_ignored_and_counted() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(ruleset::NF_TABLES.file_name);
    let mut keeper = keeper(folder.path());
    fs::write(&path, "nonsense\n").unwrap();
    assert_eq!(keeper.recall_ruleset(), None);
    assert_eq!(keeper.counts().rulesets_damaged, 1);
    // Whole, and no messages at all.
    let senseless = Kept {
        boot_id: BOOT,
        saved_ns: 0,
        listed: Listed {
            generation: 1,
            messages: vec![1; 20],
        },
    };
    file::replace(&path, |out| {
        ruleset::write(out, &ruleset::NF_TABLES, &senseless)
    })
    .unwrap();
    assert_eq!(keeper.recall_ruleset(), None);
    assert_eq!(keeper.counts().rulesets_damaged, 2);
}

#[test]
fn tables_are_kept_for_each_version_and_for_other_boots() {
    use crate::pipeline::firewall::xtables::sample::{DROP, filter};
    let folder = tempfile::tempdir().unwrap();
    let settings = StateSettings {
        directory: folder.path().to_owned(),
        save_interval: SOON,
    };
    let listing = Arc::new(filter(&[], DROP, &[]));
    on_a_loop(async {
        let mut keeper = keeper(folder.path());
        assert_eq!(keeper.recall_tables(), None);
        keeper.save_tables(1, Time::default(), &listing);
        keeper.finished().await;
        keeper.save_tables(1, Time::default(), &listing);
        assert!(!keeper.tables.is_under_way(), "it is saved");
        assert_eq!(keeper.counts().saved, 1);
    });
    let recalled = Keeper::new(&settings, BOOT).recall_tables().unwrap();
    assert_eq!(recalled, (listing.decode().unwrap(), true));
    let mut other = Keeper::new(&settings, Uuid::from_u128(8));
    assert_eq!(other.recall_tables(), Some((recalled.0, false)));
    let path = folder.path().join(ruleset::X_TABLES.file_name);
    let mut bytes = std::fs::read(&path).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(&path, bytes).unwrap();
    assert_eq!(other.recall_tables(), None);
    assert_eq!(other.counts().rulesets_damaged, 1);
}
