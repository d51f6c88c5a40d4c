//! Tables of x_tables: a listing, and the entries of one table behind a head that fits.

use wallwatch::pipeline::firewall::xtables::{INFO_BYTES, Listing, Tables, diff};

/// Most changes of one table: so many rules that went and that came, and as many of chains.
const CHANGES_MAX: usize = 3 * 1024;

/// `data` is a listing; and once more it is the head of a table and its entries.
pub fn check(data: &[u8]) {
    check_listing(&Listing::of_bytes(data.to_vec()));
    let Some((head, entries)) = data.split_first_chunk::<INFO_BYTES>() else {
        return;
    };
    let mut head = *head;
    let Ok(size) = u32::try_from(entries.len()) else {
        return;
    };
    if let Some(place) = head.last_chunk_mut() {
        *place = size.to_ne_bytes();
    }
    for is_v6 in [false, true] {
        let mut listing = Listing::default();
        listing.add(is_v6, &head, entries);
        let tables = check_listing(&listing).expect("the listing itself is whole");
        assert_eq!(tables.len(), 1);
    }
}

/// How many changes lead from nothing to what `data` lists.
#[cfg(test)]
pub(crate) fn changes_of(data: &[u8]) -> usize {
    let tables = check_listing(&Listing::of_bytes(data.to_vec())).expect("a whole listing");
    assert_eq!(tables.errors().count(), 0);
    let changes = diff(&Tables::default(), &tables);
    changes.iter().map(|table| table.changes.len()).sum()
}

fn check_listing(listing: &Listing) -> Option<Tables> {
    let tables = listing.decode().ok()?;
    let n_rules: usize = tables
        .tables()
        .flat_map(|table| &table.chains)
        .map(|chain| chain.rules.len())
        .sum();
    // The least that one takes is `struct ipt_entry` with a target that has nothing but its head.
    assert!(n_rules <= listing.bytes().len() / (112 + 32));
    assert_eq!(diff(&tables, &tables), []);
    let nothing = Tables::default();
    for changes in [diff(&nothing, &tables), diff(&tables, &nothing)] {
        assert!(changes.len() <= tables.len());
        for table in &changes {
            assert!(table.changes.len() <= CHANGES_MAX);
        }
    }
    let mut known = nothing;
    known.adopt(tables.clone());
    assert_eq!(known.adopt(tables.clone()), []);
    assert_eq!(tables.changes_until(&tables, false), []);
    Some(tables)
}
