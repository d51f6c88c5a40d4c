//! Which rules two versions of a chain have in common.

/// How far two chains are searched for the next rule that both have. Each step costs the square of it at most.
const LOOK_AHEAD_MAX: usize = 256;

/// For each of the earlier rules the later one that stands for it, both in their order. Where they differ, the
/// nearest that they have in common is looked for, up to [`LOOK_AHEAD_MAX`] rules ahead; without one so many
/// count as changed.
pub(super) fn twins(
    earlier: usize,
    later: usize,
    same: impl Fn(usize, usize) -> bool,
) -> Vec<Option<usize>> {
    let mut twins = vec![None; earlier];
    let (mut before, mut after) = (0, 0);
    while before < earlier && after < later {
        let ahead = (0..LOOK_AHEAD_MAX)
            .flat_map(|steps| (0..=steps).map(move |skipped| (skipped, steps - skipped)))
            .find(|(skipped, added)| {
                before + skipped < earlier
                    && after + added < later
                    && same(before + skipped, after + added)
            });
        let Some((skipped, added)) = ahead else {
            before += LOOK_AHEAD_MAX;
            after += LOOK_AHEAD_MAX;
            continue;
        };
        if let Some(twin) = twins.get_mut(before + skipped) {
            *twin = Some(after + added);
        }
        before += skipped + 1;
        after += added + 1;
    }
    twins
}
