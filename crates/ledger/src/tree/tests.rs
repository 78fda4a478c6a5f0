//! RFC 6962 known answers, and every proof of every size against the definition.

use super::*;

/// The seven test leaves that Certificate Transparency implementations share.
const LEAVES: [&[u8]; 8] = [
    b"",
    b"\x00",
    b"\x10",
    b"\x20\x21",
    b"\x30\x31",
    b"\x40\x41\x42\x43",
    b"\x50\x51\x52\x53\x54\x55\x56\x57",
    b"\x60\x61\x62\x63\x64\x65\x66\x67\x68\x69\x6a\x6b\x6c\x6d\x6e\x6f",
];

const ROOTS: [&str; 9] = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
];

/// The definition of MTH, word for word.
fn mth(leaves: &[NodeHash]) -> NodeHash {
    match leaves {
        [] => empty_root(),
        [one] => *one,
        many => {
            let k = many.len().next_power_of_two() / 2;
            node_hash(&mth(&many[..k]), &mth(&many[k..]))
        }
    }
}

fn numbered(count: u64) -> Vec<NodeHash> {
    (0..count).map(|n| leaf_hash(&n.to_be_bytes())).collect()
}

#[test]
fn known_roots() {
    let mut edge = Edge::new();
    assert_eq!(edge.root().hex(), ROOTS[0]);
    for (leaf, root) in LEAVES.iter().zip(&ROOTS[1..]) {
        edge.push(leaf_hash(leaf));
        assert_eq!(edge.root().hex(), *root);
    }
}

#[test]
fn edge_equals_the_definition_across_tile_borders() {
    let leaves = numbered(1100);
    let mut edge = Edge::new();
    for (n, leaf) in leaves.iter().enumerate() {
        edge.push(*leaf);
        if n < 20 || n % 97 == 0 || (250..260).contains(&n) || (1020..1030).contains(&n) {
            assert_eq!(edge.root(), mth(&leaves[..=n]), "size {}", n + 1);
        }
    }
}

#[test]
fn three_tile_levels() {
    let leaves = numbered(65_536 + 300);
    let mut edge = Edge::new();
    leaves.iter().for_each(|leaf| edge.push(*leaf));
    assert_eq!(edge.root(), mth(&leaves));
    let tiles = edge.take_tiles();
    assert!(tiles.iter().any(|tile| tile.level == 2));
    let mut stored = Stored(tiles);
    let again = Edge::load(edge.size(), &mut stored).unwrap();
    assert_eq!(again.root(), edge.root());
    let size = edge.size();
    for index in [0, 255, 256, 65_535, 65_536, size - 1] {
        let proof = inclusion(index, size, &mut stored).unwrap().unwrap();
        let leaf = leaves[usize::try_from(index).unwrap()];
        verify_inclusion(leaf, index, size, &proof, &edge.root()).unwrap();
    }
}

struct Stored(Vec<Tile>);

impl TileSource for Stored {
    type Error = String;
    fn tile(&mut self, level: u8, index: u64, width: usize) -> Result<Vec<NodeHash>, String> {
        let found = self
            .0
            .iter()
            .rev()
            .find(|t| (t.level, t.index) == (level, index));
        found
            .and_then(|t| source::tile_prefix(&t.hashes, width))
            .ok_or_else(|| format!("no tile {level}/{index} of {width}"))
    }
}

#[test]
fn stored_tiles_continue_the_tree() {
    let leaves = numbered(700);
    let mut tiles = Vec::new();
    let mut edge = Edge::new();
    for (n, leaf) in leaves.iter().enumerate() {
        edge.push(*leaf);
        if n % 61 == 0 {
            tiles.extend(edge.take_tiles());
            edge = Edge::load(edge.size(), &mut Stored(tiles.clone())).unwrap();
        }
        assert_eq!(edge.size(), n as u64 + 1);
    }
    assert_eq!(edge.root(), mth(&leaves));
    tiles.extend(edge.take_tiles());
    assert_eq!(
        root_at(700, &mut Stored(tiles.clone())).unwrap(),
        mth(&leaves)
    );
    assert_eq!(
        root_at(513, &mut Stored(tiles)).unwrap(),
        mth(&leaves[..513])
    );
}

#[test]
fn every_proof_of_small_trees_holds_and_no_other() {
    let leaves = numbered(40);
    let mut source = Leaves(leaves.clone());
    for size in 1..=40_u64 {
        let root = mth(&leaves[..usize::try_from(size).unwrap()]);
        for index in 0..size {
            let leaf = leaves[usize::try_from(index).unwrap()];
            let proof = inclusion(index, size, &mut source).unwrap().unwrap();
            verify_inclusion(leaf, index, size, &proof, &root).unwrap();
            let wrong = leaf_hash(b"another");
            assert!(verify_inclusion(wrong, index, size, &proof, &root).is_err());
            let mut long = proof.clone();
            long.push(wrong);
            assert!(verify_inclusion(leaf, index, size, &long, &root).is_err());
            if let Some((_, short)) = proof.split_last() {
                assert!(verify_inclusion(leaf, index, size, short, &root).is_err());
            }
        }
        for old in 0..=size {
            let old_root = mth(&leaves[..usize::try_from(old).unwrap()]);
            let proof = consistency(old, size, &mut source).unwrap().unwrap();
            verify_consistency(old, &old_root, size, &root, &proof).unwrap();
            if old > 0 && old < size {
                let forged = leaf_hash(b"forged");
                assert!(verify_consistency(old, &forged, size, &root, &proof).is_err());
                assert!(verify_consistency(old, &old_root, size, &forged, &proof).is_err());
                let mut long = proof.clone();
                long.push(forged);
                assert!(verify_consistency(old, &old_root, size, &root, &long).is_err());
                assert!(verify_consistency(old, &old_root, size, &root, &proof[1..]).is_err());
            }
        }
    }
    assert_eq!(inclusion(5, 5, &mut source), Ok(None));
    assert_eq!(consistency(6, 5, &mut source), Ok(None));
}
