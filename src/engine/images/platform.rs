//! Which manifest of an index is for a platform (containerd `images.Manifest`).

use super::document::Descriptor;
use crate::engine::model::Platform;

/// The manifest that suits a host best; of equals the first. Attestations and what is no image at all are skipped. A
/// single one that does not say what it is for is taken when nothing else suits: its configuration tells.
#[must_use]
pub fn choose<'a>(manifests: &'a [Descriptor], host: &Platform) -> Option<&'a Descriptor> {
    let images = || manifests.iter().filter(|d| d.may_be_image());
    let ranked = images().filter_map(|descriptor| {
        let rank = host.rank(descriptor.platform.as_ref()?)?;
        Some((rank, descriptor))
    });
    let best = ranked.min_by_key(|(rank, _)| *rank);
    best.map(|(_, descriptor)| descriptor).or_else(|| {
        let mut nameless = images().filter(|descriptor| descriptor.platform.is_none());
        match (nameless.next(), nameless.next()) {
            (Some(only), None) => Some(only),
            _ => None,
        }
    })
}

/// What an index has to offer, for the message that it has not what was asked for.
#[must_use]
pub fn offered(manifests: &[Descriptor]) -> String {
    let names: Vec<String> = manifests
        .iter()
        .filter(|descriptor| descriptor.may_be_image())
        .filter_map(|descriptor| descriptor.platform.as_ref().map(ToString::to_string))
        .take(20)
        .collect();
    names.join(", ")
}

#[cfg(test)]
mod tests {
    use super::super::document::{OCI_INDEX, OCI_MANIFEST};
    use super::*;
    use crate::engine::model::Digest;
    use proptest::prelude::*;

    fn describe(platforms: &[&str]) -> Vec<Descriptor> {
        platforms
            .iter()
            .zip(0_u8..)
            .map(|(platform, n)| Descriptor {
                platform: (!platform.is_empty()).then(|| platform.parse().unwrap()),
                ..Descriptor::new(OCI_MANIFEST, Digest::from_sha256(&[n; 32]), 1)
            })
            .collect()
    }

    fn chosen(host: &str, platforms: &[&str]) -> Option<usize> {
        let list = describe(platforms);
        let found = choose(&list, &host.parse().unwrap())?;
        list.iter().position(|descriptor| descriptor == found)
    }

    #[test]
    fn the_best_of_what_suits_is_chosen() {
        for (host, offered, found) in [
            ("linux/amd64", &["linux/arm64", "linux/amd64"][..], Some(1)),
            ("linux/amd64", &["linux/386", "linux/amd64"], Some(1)),
            ("linux/amd64", &["linux/arm64", "linux/386"], Some(1)),
            ("linux/amd64", &["linux/amd64/v2", "linux/amd64"], Some(1)),
            (
                "linux/amd64/v3",
                &["linux/amd64", "linux/amd64/v2", "linux/amd64/v4"],
                Some(1),
            ),
            ("linux/arm/v7", &["linux/arm/v5", "linux/arm/v6"], Some(1)),
            ("linux/arm/v7", &["linux/arm/v6", "linux/arm"], Some(1)),
            ("linux/arm/v6", &["linux/arm/v7", "linux/arm/v5"], Some(1)),
            ("linux/arm64", &["linux/arm/v7", "linux/arm64/v8"], Some(1)),
            ("linux/amd64", &["linux/amd64", "linux/amd64"], Some(0)),
            ("linux/amd64", &["linux/arm64"], None),
            ("linux/amd64", &["windows/amd64"], None),
            ("linux/amd64", &[""], Some(0)),
            ("linux/amd64", &["linux/arm64", ""], Some(1)),
            ("linux/amd64", &["", ""], None),
            ("linux/amd64", &[], None),
        ] {
            assert_eq!(chosen(host, offered), found, "{host} of {offered:?}");
        }
    }

    #[test]
    fn attestations_and_artifacts_are_never_chosen() {
        let host = Platform::host();
        let mut list = describe(&["", ""]);
        list[0].platform = Some("unknown/unknown".parse().unwrap());
        list[1].annotations.insert(
            "vnd.docker.reference.type".to_owned(),
            "attestation-manifest".to_owned(),
        );
        assert_eq!(choose(&list, &host), None);
        let mut list = describe(&[""]);
        list[0].media_type = "application/vnd.example+json".to_owned();
        assert_eq!(choose(&list, &host), None);
        list[0].media_type = OCI_INDEX.to_owned();
        assert_eq!(choose(&list, &host), list.first());
    }

    proptest! {
        #[test]
        fn what_is_chosen_suits_and_nothing_suits_better(
            offers in prop::collection::vec(prop::sample::select(vec![
                "linux/amd64", "linux/amd64/v2", "linux/386", "linux/arm", "linux/arm/v6", "linux/arm64", "windows/amd64",
            ]), 0..6),
            host in prop::sample::select(vec!["linux/amd64", "linux/amd64/v3", "linux/arm/v7", "linux/arm64"]),
        ) {
            let list = describe(&offers);
            let host: Platform = host.parse().unwrap();
            let rank = |d: &Descriptor| host.rank(d.platform.as_ref().unwrap());
            let best = list.iter().filter_map(rank).min();
            prop_assert_eq!(choose(&list, &host).and_then(rank), best);
        }
    }
}
