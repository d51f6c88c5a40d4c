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
        assert!(first.under_way.is_none(), "nothing has happened");
        grow(&mut tree, 2);
        first.save(&tree);
        // While it is written nothing else is.
        grow(&mut tree, 3);
        first.save(&tree);
        first.finished().await;
        assert_eq!(first.counts().saved, 1);
        assert_eq!(keeper(&directory).recall(100).len(), 1);
        let counts = first.close(&tree, SOON).await;
        assert_eq!((counts.saved, counts.failed), (2, 0));
    });
    let mut second = keeper(&directory);
    let mut remembered = tree.remembered();
    remembered.sort_by_key(Remembered::age);
    assert_eq!(second.recall(100), remembered);
    assert_eq!(second.counts().recalled, 2);
    let counts = on_a_loop(second.close(&ProcessTree::new(TreeLimits::default()), SOON));
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
        let counts = keeper.close(&tree, SOON).await;
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
    on_a_loop(keeper(folder.path()).close(&tree, SOON));
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
    let counts = on_a_loop(Keeper::new(&settings, Uuid::nil()).close(&tree, SOON));
    assert_eq!(counts, StateCounts::default());
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}
