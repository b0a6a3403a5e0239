//! How deep a query may be. What parses, plans and runs it calls itself once for each operator of a chain such as
//! `a OR b OR c`, for each cast behind another and for each `UNION`, and a stack that is full ends the whole process. So chains
//! are counted before anything is parsed, and [`STACK`] is what those that are let in need, several times over.

use datafusion::common::{Result, plan_err};
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::tokenizer::{Token, Tokenizer};

/// Bytes of the stack of a thread that plans or runs queries.
pub use escala_objects::parquet::STACK;

/// Most operators, casts, subscripts, joins and set operations of a text.
pub const MOST: usize = 1000;

/// Refuses a text with more than [`MOST`] links of chains, however they are spread over it.
pub(crate) fn check(text: &str) -> Result<()> {
    // What is no SQL is said by the parser, better.
    let Ok(tokens) = Tokenizer::new(&GenericDialect {}, text).tokenize() else {
        return Ok(());
    };
    let mut seen = tokens
        .iter()
        .filter(|token| !matches!(token, Token::Whitespace(_)))
        .peekable();
    let (mut links, mut before) = (0, None::<&Token>);
    while let Some(token) = seen.next() {
        // The sign of a number is none, as in a list of them.
        let sign = matches!(token, Token::Minus | Token::Plus)
            && matches!(seen.peek(), Some(Token::Number(..)))
            && !matches!(
                before,
                Some(
                    Token::Word(_)
                        | Token::Number(..)
                        | Token::SingleQuotedString(_)
                        | Token::RParen
                        | Token::RBracket
                )
            );
        links += usize::from(links_chain(token) && !sign);
        before = Some(token);
    }
    match links > MOST {
        true => plan_err!(
            "the text has {links} operators, casts, subscripts, joins and set operations, and {MOST} are let in; `IN (…)` is one, however long its list"
        ),
        false => Ok(()),
    }
}

/// Whether one more of a token makes what it stands in deeper.
fn links_chain(token: &Token) -> bool {
    match token {
        Token::Word(word) => matches!(
            word.keyword,
            Keyword::AND
                | Keyword::OR
                | Keyword::XOR
                | Keyword::NOT
                | Keyword::IS
                | Keyword::IN
                | Keyword::LIKE
                | Keyword::ILIKE
                | Keyword::RLIKE
                | Keyword::REGEXP
                | Keyword::SIMILAR
                | Keyword::BETWEEN
                | Keyword::COLLATE
                | Keyword::AT
                | Keyword::DIV
                | Keyword::OVERLAPS
                | Keyword::UNION
                | Keyword::EXCEPT
                | Keyword::MINUS
                | Keyword::INTERSECT
                | Keyword::JOIN
                | Keyword::APPLY
                | Keyword::EXPLAIN
        ),
        Token::LBracket => true,
        Token::Number(..)
        | Token::Char(_)
        | Token::SingleQuotedString(_)
        | Token::Comma
        | Token::Period
        | Token::LParen
        | Token::RParen
        | Token::RBracket
        | Token::LBrace
        | Token::RBrace
        | Token::SemiColon
        | Token::Whitespace(_)
        | Token::EOF => false,
        // Operators of all dialects, and kinds of texts that are rare beside them.
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_lists_are_no_chains_and_chains_are() {
        let numbers = |sign: &str| {
            let list: Vec<String> = (0..5000).map(|n| format!("{sign}{n}.5")).collect();
            list.join(", ")
        };
        for text in [
            format!("SELECT * FROM t WHERE x IN ({})", numbers("")),
            format!("SELECT [{}]", numbers("-")),
            format!("SELECT a AND b OR c FROM t -- {}", "OR ".repeat(5000)),
            format!("SELECT '{}'", "+".repeat(5000)),
            "SELECT 'open".to_owned(),
        ] {
            assert!(check(&text).is_ok(), "{text:.60}");
        }
        for link in [
            " OR x = 1",
            " - 1",
            " || 'a'",
            "::bigint",
            " IS NULL",
            "[1]",
            " UNION ALL SELECT 1",
            " JOIN t ON true",
            " AT TIME ZONE 'UTC'",
            " NOT LIKE 'a'",
            " -> 'a'",
            " - - 1",
        ] {
            let text = format!("SELECT * FROM t WHERE x{}", link.repeat(1001));
            let error = check(&text).expect_err(link).to_string();
            assert!(error.contains("are let in"), "{link}: {error}");
        }
    }
}
