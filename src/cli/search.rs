//! `search`: repositories that a registry knows for a term, as Docker shows them.

use super::format::{Format, Headings, Row};
use super::output::ellipsis;
use super::report::{Failure, Outcome};
use super::value::Filter;
use super::{Context, args, container, value};
use crate::engine::model::reference::DEFAULT_DOMAIN;
use crate::engine::model::registry::Hit;
use crate::engine::model::request;

const TABLE: &str = "{{.Name}}\t{{.Description}}\t{{.StarCount}}\t{{.IsOfficial}}";
const HEADINGS: Headings = &[
    ("Name", "NAME"),
    ("Description", "DESCRIPTION"),
    ("StarCount", "STARS"),
    ("IsOfficial", "OFFICIAL"),
    ("IsAutomated", "AUTOMATED"),
];
/// Columns of a description.
const DESCRIPTION: usize = 45;

/// `search`.
pub fn search(context: &Context, args: &args::Search) -> Outcome {
    let format = Format::parse(args.format.as_deref(), TABLE)?;
    let conditions = conditions(&args.filter).map_err(Failure::plain)?;
    let limit = match args.limit {
        None | Some(0) => None,
        Some(limit) => match u32::try_from(limit)
            .ok()
            .filter(|limit| (1..=100).contains(limit))
        {
            Some(limit) => Some(limit),
            None => {
                return Err(Failure::plain(format_args!(
                    "limit {limit} is outside the range of [1, 100]"
                )));
            }
        },
    };
    let term = args.operands.first().map_or("", String::as_str);
    let registry = match term.split_once('/') {
        Some((host, _)) if host.contains(['.', ':']) || host == "localhost" => host,
        _ => DEFAULT_DOMAIN,
    };
    let request = request::Search {
        term: term.to_owned(),
        limit,
        auth: context.credentials().auth(registry)?,
    };
    let hits = context.engine()?.search(&request)?;
    let rows = rows(hits, &conditions, args.no_trunc);
    container::print_rows(&format, args.format.is_some(), false, HEADINGS, rows)
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Conditions {
    official: Option<bool>,
    automated: Option<bool>,
    stars: u64,
}

fn conditions(filters: &[Filter]) -> Result<Conditions, String> {
    let mut conditions = Conditions::default();
    for Filter { key, value } in filters {
        let wrong = || format!("invalid filter '{key}={value}'");
        let yes_or_no = || value::boolean(value).map(Some).map_err(|_why| wrong());
        match key.as_str() {
            "is-official" => conditions.official = yes_or_no()?,
            "is-automated" => conditions.automated = yes_or_no()?,
            "stars" => conditions.stars = value.parse().map_err(|_why| wrong())?,
            _ => return Err(format!("invalid filter '{key}'")),
        }
    }
    Ok(conditions)
}

fn rows(mut hits: Vec<Hit>, conditions: &Conditions, whole: bool) -> Vec<Row> {
    hits.retain(|hit| {
        conditions
            .official
            .is_none_or(|wanted| hit.is_official == wanted)
            && conditions
                .automated
                .is_none_or(|wanted| hit.is_automated == wanted)
            && hit.star_count >= conditions.stars
    });
    hits.sort_by_key(|hit| std::cmp::Reverse(hit.star_count));
    let ok = |yes: bool| if yes { "[OK]" } else { "" };
    hits.into_iter()
        .map(|hit| {
            let description = hit.description.replace(['\n', '\r'], " ");
            let description = if whole {
                description
            } else {
                ellipsis(&description, DESCRIPTION)
            };
            Row::default()
                .with("Name", hit.name)
                .with("Description", description)
                .with("StarCount", hit.star_count.to_string())
                .with("IsOfficial", ok(hit.is_official))
                .with("IsAutomated", ok(hit.is_automated))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hits() -> Vec<Hit> {
        let hit = |name: &str, stars, is_official, description: &str| Hit {
            name: name.to_owned(),
            description: description.to_owned(),
            star_count: stars,
            is_official,
            is_automated: false,
        };
        vec![
            hit("u/app", 3, false, "two\nlines"),
            hit(
                "nginx",
                19_000,
                true,
                "Official build of Nginx, with a text that is much too long.",
            ),
        ]
    }

    fn shown(filters: &[(&str, &str)]) -> Result<String, String> {
        let filters: Vec<Filter> = filters
            .iter()
            .map(|(key, value)| Filter {
                key: (*key).to_owned(),
                value: (*value).to_owned(),
            })
            .collect();
        let rows = rows(hits(), &conditions(&filters)?, false);
        Format::parse(None, TABLE)
            .and_then(|format| format.render(HEADINGS, rows))
            .map_err(|failure| format!("{failure:?}"))
    }

    #[test]
    fn hits_are_shown_as_dockers_table_with_the_most_stars_first() {
        assert_eq!(
            shown(&[]).unwrap(),
            "NAME      DESCRIPTION                                     STARS     OFFICIAL\n\
             nginx     Official build of Nginx, with a text that is…   19000     [OK]\n\
             u/app     two lines                                       3         \n"
        );
    }

    #[test]
    fn filters_choose_and_wrong_ones_are_refused() {
        assert!(!shown(&[("is-official", "true")]).unwrap().contains("u/app"));
        assert!(!shown(&[("stars", "4")]).unwrap().contains("u/app"));
        assert_eq!(
            shown(&[("stars", "many")]),
            Err("invalid filter 'stars=many'".to_owned())
        );
        assert_eq!(
            shown(&[("size", "1")]),
            Err("invalid filter 'size'".to_owned())
        );
    }
}
