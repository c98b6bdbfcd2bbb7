//! The lines of small trees, and what must hold for all of them.

use proptest::prelude::*;

use super::super::oracle::{a_layer, directory, file, whiteout};
use super::*;

fn stack(layers: Vec<Vec<Entry>>) -> Stack {
    let mut stack = Stack::default();
    for layer in layers {
        stack.add(layer);
    }
    stack
}

/// A base with two directories; a layer that changes one file, brings one, takes one and has one again.
fn two() -> Stack {
    let mut again = file("etc/same", 7, 4);
    again.mtime = (99, 0);
    stack(vec![
        vec![
            directory("etc"),
            file("etc/a", 100, 1),
            file("etc/gone", 30, 2),
            file("etc/same", 7, 4),
            directory("usr"),
            directory("usr/lib"),
            file("usr/lib/big", 5000, 3),
        ],
        vec![
            directory("etc"),
            file("etc/a", 120, 9),
            whiteout("etc/gone"),
            file("etc/new", 10, 8),
            again,
        ],
    ])
}

/// The tree as text: two blanks for each step down, the mark, the name, the bytes.
fn text(stack: &Stack, layer: LayerId, extent: Extent, wanted: &Wanted) -> Vec<String> {
    let order = Order::of(&stack.tree);
    let facts = Facts::of(stack, layer, extent);
    let kept = Kept::of(stack, &order, &facts, wanted);
    rows(stack, &order, &facts, &kept, wanted)
        .iter()
        .map(|row| {
            let fact = facts.get(row.node);
            let mark = match fact.shown_mark() {
                Mark::Removed => '-',
                Mark::Modified => '~',
                Mark::Added => '+',
                Mark::Again => '=',
                Mark::Unmodified => ' ',
            };
            let fold = match row.folded {
                None => "",
                Some(true) => ">",
                Some(false) => "v",
            };
            let name = String::from_utf8_lossy(stack.tree.name(row.node));
            format!(
                "{}{mark}{name}{fold} {}",
                "  ".repeat(row.depth.into()),
                fact.bytes
            )
        })
        .collect()
}

fn wanted(sort: Sort) -> Wanted {
    Wanted {
        sort,
        ..Wanted::default()
    }
}

#[test]
fn a_change_shows_what_the_layer_did_and_nothing_else() {
    assert_eq!(
        text(&two(), 1, Extent::Change, &wanted(Sort::Name)),
        [
            "~etcv 137",
            "  ~a 120",
            "  -gone 30",
            "  +new 10",
            "  =same 7"
        ]
    );
}

#[test]
fn the_whole_has_what_is_there_and_what_the_layer_took() {
    assert_eq!(
        text(&two(), 1, Extent::Whole, &wanted(Sort::Size)),
        [
            " usrv 5000",
            "   libv 5000",
            "     big 5000",
            "~etcv 137",
            "  ~a 120",
            "  -gone 30",
            "  +new 10",
            "  =same 7",
        ]
    );
    // As the lower layer leaves it, the file is there.
    let lower = text(&two(), 0, Extent::Whole, &wanted(Sort::Name));
    assert_eq!(lower[0..3], ["+etcv 137", "  +a 100", "  +gone 30"]);
}

#[test]
fn entries_are_sorted_within_their_directory() {
    let names = |sort| -> Vec<String> {
        let lines = text(&two(), 1, Extent::Change, &wanted(sort));
        lines
            .iter()
            .skip(1)
            .map(|line| line.trim().to_owned())
            .collect()
    };
    assert_eq!(
        names(Sort::Size),
        ["~a 120", "-gone 30", "+new 10", "=same 7"]
    );
    assert_eq!(
        names(Sort::Change),
        ["-gone 30", "~a 120", "+new 10", "=same 7"]
    );
}

#[test]
fn a_removed_directory_weighs_what_went_with_it() {
    let stack = stack(vec![
        vec![directory("var"), file("var/x", 40, 1), file("var/y", 2, 2)],
        vec![whiteout("var")],
    ]);
    let lines = text(&stack, 1, Extent::Change, &wanted(Sort::Name));
    assert_eq!(lines, ["-varv 42", "  -x 40", "  -y 2"]);
    let facts = Facts::of(&stack, 1, Extent::Change);
    assert_eq!(
        facts.get(ROOT).bytes,
        0,
        "what is gone weighs nothing above"
    );
    let lower = Facts::of(&stack, 0, Extent::Change);
    assert_eq!(
        lower.get(ROOT).wasted,
        42,
        "the lower layer has it for nothing"
    );
}

#[test]
fn filters_keep_what_fits_and_the_directories_above_it() {
    let of = |text_of: &str| Wanted {
        filter: Filter::parse(text_of),
        ..wanted(Sort::Name)
    };
    let show = |wanted: &Wanted| text(&two(), 1, Extent::Whole, wanted);
    assert_eq!(
        show(&of("big")),
        [" usrv 5000", "   libv 5000", "     big 5000"]
    );
    assert_eq!(show(&of("new")), ["~etcv 137", "  +new 10"]);
    assert_eq!(show(&of("nothing")), Vec::<String>::new());
    let mut only = wanted(Sort::Name);
    // All but removed.
    only.hidden = [false, true, true, true, true];
    assert_eq!(show(&only), ["~etcv 137", "  -gone 30"]);
    let wasted = Wanted {
        wasted_only: true,
        ..wanted(Sort::Name)
    };
    assert_eq!(
        text(&two(), 0, Extent::Change, &wasted),
        ["+etcv 137", "  +a 100", "  +gone 30", "  +same 7"]
    );
}

#[test]
fn folding_hides_what_is_below_and_says_so() {
    let stack = two();
    let mut wanted = wanted(Sort::Name);
    wanted.closed = true;
    assert_eq!(
        text(&stack, 1, Extent::Whole, &wanted),
        ["~etc> 137", " usr> 5000"]
    );
    let usr = stack.tree.find(b"usr").unwrap();
    wanted.folded.insert(usr, false);
    assert_eq!(
        text(&stack, 1, Extent::Whole, &wanted),
        ["~etc> 137", " usrv 5000", "   lib> 5000"]
    );
}

#[test]
fn large_trees_begin_with_their_first_levels() {
    let stack = two();
    let order = Order::of(&stack.tree);
    let facts = Facts::of(&stack, 0, Extent::Change);
    let kept = Kept::of(&stack, &order, &facts, &Wanted::default());
    let names = |most| -> Vec<Vec<u8>> {
        let opened = opened_at_first(&order, &kept, most);
        opened.iter().map(|node| stack.tree.path(*node)).collect()
    };
    assert_eq!(names(2), Vec::<Vec<u8>>::new());
    // `etc` has three files, `usr` one directory.
    assert_eq!(names(4), [&b"usr"[..], b"usr/lib"]);
    assert_eq!(names(9), [&b"etc"[..], b"usr", b"usr/lib"]);
}

#[test]
fn what_is_taken_out_is_what_is_there() {
    let stack = two();
    let order = Order::of(&stack.tree);
    let paths = |layer, extent, path: &[u8]| -> Vec<String> {
        let facts = Facts::of(&stack, layer, extent);
        let node = stack.tree.find(path).unwrap();
        let entries = entries_below(&order, &facts, node);
        let text = |at: &(LayerId, u32)| {
            let path = String::from_utf8_lossy(&stack.entry(*at).path).into_owned();
            format!("{path}@{}", at.0)
        };
        entries.iter().map(text).collect()
    };
    let change = ["etc@1", "etc/a@1", "etc/new@1", "etc/same@1"];
    assert_eq!(paths(1, Extent::Change, b"etc"), change);
    assert_eq!(paths(1, Extent::Change, b""), change);
    assert_eq!(
        paths(1, Extent::Whole, b"usr/lib"),
        ["usr/lib@0", "usr/lib/big@0"]
    );
    assert_eq!(paths(1, Extent::Whole, b"etc/gone"), Vec::<String>::new());
    let last = |path: &[u8]| last_two(&stack, stack.tree.find(path).unwrap(), 1);
    assert_eq!(last(b"etc/a"), Some([(0, 1), (1, 1)]));
    assert_eq!(last(b"etc/new"), None);
}

#[test]
fn modes_are_shown_as_ls_does() {
    let mut entry = file("x", 1, 1);
    for (mode, text) in [
        (0o644, "-rw-r--r--"),
        (0o4755, "-rwsr-xr-x"),
        (0o2644, "-rw-r-Sr--"),
        (0o1777, "-rwxrwxrwt"),
        (0o1000, "---------T"),
    ] {
        entry.mode = mode;
        assert_eq!(mode_text(&entry), text);
    }
    assert_eq!(mode_text(&directory("x")), "drw-r--r--");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    /// Sizes of the whole tree are those of what is shown; rows are parents first, each path once, and folding all leaves
    /// what is in the root.
    #[test]
    fn trees_are_whole_whatever_the_layers_are(
        layers in prop::collection::vec(a_layer(), 1..5),
        sort in prop::sample::select(vec![Sort::Size, Sort::Name, Sort::Change]),
        needle in prop::sample::select(vec!["", "a", "b", "!c", ">20"]),
        hidden in prop::array::uniform5(any::<bool>()),
    ) {
        let stack = stack(layers);
        let order = Order::of(&stack.tree);
        for layer in 0..stack.tree.layers() {
            let facts = Facts::of(&stack, layer, Extent::Whole);
            let shown: u64 = (0..small(stack.tree.paths()))
                .filter_map(|node| stack.tree.at(node, layer))
                .map(|at| stack.entry(at).size)
                .sum();
            prop_assert_eq!(facts.get(ROOT).bytes, shown);
            for extent in [Extent::Change, Extent::Whole] {
                let facts = Facts::of(&stack, layer, extent);
                let mut wanted = Wanted { sort, hidden, filter: Filter::parse(needle), ..Wanted::default() };
                let kept = Kept::of(&stack, &order, &facts, &wanted);
                let lines = rows(&stack, &order, &facts, &kept, &wanted);
                let mut above: Vec<NodeId> = Vec::new();
                let mut seen = std::collections::HashSet::new();
                for row in &lines {
                    above.truncate(row.depth.into());
                    prop_assert_eq!(above.len(), usize::from(row.depth));
                    let parent = above.last().copied().unwrap_or(ROOT);
                    prop_assert_eq!(stack.tree.parent(row.node), Some(parent));
                    prop_assert!(seen.insert(row.node));
                    // Whoever has nothing below it fits by itself.
                    if row.folded.is_none() {
                        let fact = facts.get(row.node);
                        prop_assert!(wanted.allows(fact.mark));
                        let mut path = b"/".to_vec();
                        path.extend(stack.tree.path(row.node));
                        prop_assert!(wanted.filter.fits(&path, fact.entry.map(|at| stack.entry(at)), None));
                    }
                    above.push(row.node);
                }
                prop_assert_eq!(lines.len(), seen.len());
                prop_assert!(kept.count <= lines.len());
                wanted.closed = true;
                let closed = rows(&stack, &order, &facts, &kept, &wanted);
                let roots = lines.iter().filter(|row| row.depth == 0).count();
                prop_assert_eq!(closed.len(), roots);
            }
        }
    }
}
