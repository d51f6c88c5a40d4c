use super::*;

fn kept() -> Kept {
    Kept {
        boot_id: Uuid::from_u128(7),
        saved_ns: 5,
        listed: Listed {
            generation: 3,
            messages: (0..=255).collect(),
        },
    }
}

fn written(kept: &Kept) -> Vec<u8> {
    let mut file = Vec::new();
    write(&mut file, &NF_TABLES, kept).unwrap();
    file
}

#[test]
fn what_is_written_is_read() {
    let kept = kept();
    assert_eq!(
        read(written(&kept).as_slice(), &NF_TABLES).unwrap(),
        Content::Kept(kept)
    );
    let empty = Kept {
        listed: Listed::default(),
        ..self::kept()
    };
    let read = read(written(&empty).as_slice(), &NF_TABLES).unwrap();
    assert_eq!(read, Content::Kept(empty));
}

#[test]
fn a_file_that_is_cut_or_longer_is_of_no_use() {
    let mut file = written(&kept());
    for length in 0..file.len() {
        let read = read(&file[..length], &NF_TABLES).unwrap();
        assert!(matches!(read, Content::Unusable(_)), "{length}");
    }
    file.push(0);
    assert_eq!(
        read(file.as_slice(), &NF_TABLES).unwrap(),
        Content::Unusable("damaged")
    );
}

#[test]
fn one_wrong_byte_of_the_messages_is_seen() {
    let file = written(&kept());
    for at in file.len() - 256..file.len() {
        let mut damaged = file.clone();
        damaged[at] ^= 1;
        let read = read(damaged.as_slice(), &NF_TABLES).unwrap();
        assert_eq!(read, Content::Unusable("damaged"), "{at}");
    }
}

#[test]
fn a_file_that_says_it_is_larger_than_the_bound_is_not_read() {
    let text = String::from_utf8_lossy(&written(&kept())).replace(
        "\"bytes\":256",
        &format!("\"bytes\":{}", LISTED_BYTES_MAX + 1),
    );
    let read = read(text.as_bytes(), &NF_TABLES).unwrap();
    assert_eq!(read, Content::Unusable("a larger ruleset than is kept"));
}

#[test]
fn the_file_of_the_other_kind_is_not_taken_for_it() {
    let read = read(written(&kept()).as_slice(), &X_TABLES).unwrap();
    assert_eq!(read, Content::Unusable("not the first line of this format"));
}
