//! What a call used and cost: the attachment of its record, stored as one compact row in the same
//! commit.

/// Where a cost comes from.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum CostSource {
    /// No price is known; the cost is absent, never 0.
    #[default]
    None,
    /// Prices in the configuration.
    Config,
    /// The built-in price table.
    Table,
    /// The provider said so.
    Provider,
    /// The reservation, because what was used is not known.
    Reservation,
}

/// How a call ended, as the record's outcome says.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Status {
    /// Answered in full.
    Success,
    /// Failed upstream or in the gateway.
    Failure,
    /// Cut while it was answered.
    Partial,
    /// Stopped by a rule or check.
    Blocked,
    /// Nobody knows: recovered, abandoned or quarantined.
    #[default]
    Unknown,
    /// Not a call: nobody was authenticated. The row says who tried, for those who watch.
    Refused,
}

/// One row of spend. Texts are names and ids, never content; empty means none.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Spend {
    /// Arrival of the call, microseconds since the Unix epoch.
    pub at: i64,
    /// How it ended.
    pub status: Status,
    /// Route or kind of call, for example `chat`.
    pub call_type: String,
    /// Model group that the client asked for.
    pub model: String,
    /// Deployment that answered.
    pub deployment: String,
    /// Provider that answered.
    pub provider: String,
    /// Id of the key that called.
    pub key: String,
    /// Team of the key.
    pub team: String,
    /// User of the key.
    pub user: String,
    /// Tenant of the key.
    pub tenant: String,
    /// Organization of the key.
    pub organization: String,
    /// End user whom the caller named (pseudonym).
    pub end_user: String,
    /// Tags, joined by U+001F.
    pub tags: String,
    /// Address of the caller.
    pub address: String,
    /// Input tokens, cached ones included.
    pub tokens_in: u64,
    /// Output tokens, reasoning included.
    pub tokens_out: u64,
    /// Input tokens that the provider took from its cache.
    pub tokens_cached: u64,
    /// Output tokens spent on reasoning.
    pub tokens_reasoning: u64,
    /// Milliseconds from arrival to the end of the answer.
    pub duration_ms: u64,
    /// Cost in millionths of a US dollar, if a price is known.
    pub cost_micro_usd: Option<i64>,
    /// Where the cost comes from.
    pub cost_source: CostSource,
    /// The numbers are estimates.
    pub estimated: bool,
}

/// Bytes that are not an attachment of this version.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("not a spend attachment: {0}")]
pub struct NotSpend(&'static str);

/// First byte of the encoding; another layout gets another one.
const VERSION: u8 = 2;

impl CostSource {
    const ALL: [CostSource; 5] = [
        CostSource::None,
        CostSource::Config,
        CostSource::Table,
        CostSource::Provider,
        CostSource::Reservation,
    ];

    /// The word in records: `none`, `config`, `table`, `provider`, `reservation`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            CostSource::None => "none",
            CostSource::Config => "config",
            CostSource::Table => "table",
            CostSource::Provider => "provider",
            CostSource::Reservation => "reservation",
        }
    }

    /// The code in the database.
    #[must_use]
    pub fn code(self) -> u8 {
        self as u8
    }

    /// From the code in the database.
    #[must_use]
    pub fn from_code(code: u8) -> Option<CostSource> {
        CostSource::ALL.get(usize::from(code)).copied()
    }
}

impl Status {
    const ALL: [Status; 6] = [
        Status::Success,
        Status::Failure,
        Status::Partial,
        Status::Blocked,
        Status::Unknown,
        Status::Refused,
    ];

    /// The word in records.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Status::Success => "success",
            Status::Failure => "failure",
            Status::Partial => "partial",
            Status::Blocked => "blocked",
            Status::Unknown => "unknown",
            Status::Refused => "refused",
        }
    }

    /// The code in the database.
    #[must_use]
    pub fn code(self) -> u8 {
        self as u8
    }

    /// From the code in the database.
    #[must_use]
    pub fn from_code(code: u8) -> Option<Status> {
        Status::ALL.get(usize::from(code)).copied()
    }
}

impl Spend {
    /// The attachment bytes: version, numbers (little-endian), texts with a length before each.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let texts = self.texts();
        let mut out =
            Vec::with_capacity(64 + texts.iter().map(|text| text.len() + 4).sum::<usize>());
        out.extend([
            VERSION,
            self.status.code(),
            self.cost_source.code(),
            u8::from(self.estimated),
        ]);
        out.push(u8::from(self.cost_micro_usd.is_some()));
        out.extend(self.cost_micro_usd.unwrap_or(0).to_le_bytes());
        out.extend(self.at.to_le_bytes());
        for number in [
            self.tokens_in,
            self.tokens_out,
            self.tokens_cached,
            self.tokens_reasoning,
            self.duration_ms,
        ] {
            out.extend(number.to_le_bytes());
        }
        for text in texts {
            // A name longer than 64 KiB is cut; no name that comes through configuration or key is.
            let kept = text
                .get(..text.floor_char_boundary(usize::from(u16::MAX)))
                .unwrap_or_default();
            out.extend(u16::try_from(kept.len()).unwrap_or(0).to_le_bytes());
            out.extend(kept.as_bytes());
        }
        out
    }

    /// Reads what [`Spend::encode`] wrote.
    ///
    /// # Errors
    /// When the bytes are of another layout, cut, or too long.
    pub fn decode(bytes: &[u8]) -> Result<Spend, NotSpend> {
        let mut input = Input(bytes);
        let [version, status, source, estimated, priced] = input.array()?;
        if version != VERSION {
            return Err(NotSpend("unknown version"));
        }
        let cost = i64::from_le_bytes(input.array()?);
        let at = i64::from_le_bytes(input.array()?);
        let mut spend = Spend {
            at,
            status: Status::from_code(status).ok_or(NotSpend("unknown status"))?,
            cost_source: CostSource::from_code(source).ok_or(NotSpend("unknown cost source"))?,
            estimated: estimated == 1,
            cost_micro_usd: (priced == 1).then_some(cost),
            tokens_in: input.number()?,
            tokens_out: input.number()?,
            tokens_cached: input.number()?,
            tokens_reasoning: input.number()?,
            duration_ms: input.number()?,
            ..Spend::default()
        };
        for text in spend.texts_mut() {
            *text = input.text()?;
        }
        if input.0.is_empty() {
            Ok(spend)
        } else {
            Err(NotSpend("trailing bytes"))
        }
    }

    fn texts(&self) -> [&str; 12] {
        [
            &self.call_type,
            &self.model,
            &self.deployment,
            &self.provider,
            &self.key,
            &self.team,
            &self.user,
            &self.tenant,
            &self.organization,
            &self.end_user,
            &self.tags,
            &self.address,
        ]
    }

    fn texts_mut(&mut self) -> [&mut String; 12] {
        [
            &mut self.call_type,
            &mut self.model,
            &mut self.deployment,
            &mut self.provider,
            &mut self.key,
            &mut self.team,
            &mut self.user,
            &mut self.tenant,
            &mut self.organization,
            &mut self.end_user,
            &mut self.tags,
            &mut self.address,
        ]
    }
}

struct Input<'a>(&'a [u8]);

impl Input<'_> {
    fn array<const N: usize>(&mut self) -> Result<[u8; N], NotSpend> {
        let (head, rest) = self
            .0
            .split_first_chunk::<N>()
            .ok_or(NotSpend("too short"))?;
        self.0 = rest;
        Ok(*head)
    }

    fn number(&mut self) -> Result<u64, NotSpend> {
        self.array().map(u64::from_le_bytes)
    }

    fn text(&mut self) -> Result<String, NotSpend> {
        let length = usize::from(u16::from_le_bytes(self.array()?));
        let (text, rest) = self
            .0
            .split_at_checked(length)
            .ok_or(NotSpend("too short"))?;
        self.0 = rest;
        String::from_utf8(text.to_vec()).map_err(|_| NotSpend("a text is not UTF-8"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trip_and_no_other_bytes() {
        let spend = Spend {
            at: -5,
            status: Status::Partial,
            model: "gpt-\u{e9}".to_owned(),
            key: "k".to_owned(),
            tokens_in: u64::MAX,
            cost_micro_usd: Some(-1),
            cost_source: CostSource::Table,
            estimated: true,
            ..Spend::default()
        };
        let bytes = spend.encode();
        assert_eq!(Spend::decode(&bytes), Ok(spend));
        for cut in 0..bytes.len() {
            assert!(Spend::decode(&bytes[..cut]).is_err(), "cut at {cut}");
        }
        let long = [bytes, vec![0]].concat();
        assert_eq!(Spend::decode(&long), Err(NotSpend("trailing bytes")));
    }

    #[test]
    fn codes_are_stable() {
        for (code, source) in (0_u8..).zip(CostSource::ALL) {
            assert_eq!(
                (source.code(), CostSource::from_code(code)),
                (code, Some(source))
            );
        }
        for (code, status) in (0_u8..).zip(Status::ALL) {
            assert_eq!(
                (status.code(), Status::from_code(code)),
                (code, Some(status))
            );
        }
    }
}
