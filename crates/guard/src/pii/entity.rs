//! The kinds of personal data, under Presidio's names.

macro_rules! entities {
    ($($(#[$meta:meta])* $variant:ident = $name:literal, $default:literal;)*) => {
        /// A kind of personal data.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Entity {
            $($(#[$meta])* $variant,)*
        }

        impl Entity {
            /// All kinds that are recognised.
            pub const ALL: &'static [Entity] = &[$(Entity::$variant,)*];

            /// The name in configurations, findings and records.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self {
                    $(Entity::$variant => $name,)*
                }
            }

            /// Whether the kind is looked for unless configured otherwise.
            #[must_use]
            pub fn default_on(self) -> bool {
                match self {
                    $(Entity::$variant => $default,)*
                }
            }
        }
    };
}

entities! {
    /// Payment card numbers: issuer's prefix, length, Luhn.
    CreditCard = "CREDIT_CARD", true;
    /// E-mail addresses.
    Email = "EMAIL_ADDRESS", true;
    /// Telephone numbers: country's numbering plan.
    Phone = "PHONE_NUMBER", true;
    /// International bank account numbers: length of the country, mod 97.
    Iban = "IBAN_CODE", true;
    /// IPv4 and IPv6 addresses.
    Ip = "IP_ADDRESS", true;
    /// Hardware addresses.
    Mac = "MAC_ADDRESS", true;
    /// Web addresses. Not personal by themselves: only where configured.
    Url = "URL", false;
    /// Bitcoin (checksummed) and Ethereum addresses.
    Crypto = "CRYPTO", true;
    /// United States: social security number.
    UsSsn = "US_SSN", true;
    /// United States: individual taxpayer number.
    UsItin = "US_ITIN", true;
    /// United States: passport (context).
    UsPassport = "US_PASSPORT", true;
    /// United States: bank account (context).
    UsBankNumber = "US_BANK_NUMBER", true;
    /// United States: driving licence (context).
    UsDriverLicense = "US_DRIVER_LICENSE", true;
    /// United States: Medicare beneficiary identifier.
    UsMbi = "US_MBI", true;
    /// United States: national provider identifier (Luhn, context).
    UsNpi = "US_NPI", true;
    /// United States: DEA registration of prescribers (checksum).
    MedicalLicense = "MEDICAL_LICENSE", true;
    /// United Kingdom: NHS number (mod 11).
    UkNhs = "UK_NHS", true;
    /// United Kingdom: national insurance number.
    UkNino = "UK_NINO", true;
    /// Spain: NIF and NIE (check letter).
    EsNif = "ES_NIF", true;
    /// Italy: fiscal code (check letter).
    ItFiscalCode = "IT_FISCAL_CODE", true;
    /// Poland: PESEL (checksum, date).
    PlPesel = "PL_PESEL", true;
    /// Singapore: NRIC and FIN (check letter).
    SgNricFin = "SG_NRIC_FIN", true;
    /// Australia: business number (mod 89).
    AuAbn = "AU_ABN", true;
    /// Australia: tax file number (mod 11).
    AuTfn = "AU_TFN", true;
    /// Australia: Medicare card (mod 10).
    AuMedicare = "AU_MEDICARE", true;
    /// Germany: tax identification number (ISO 7064 mod 11,10).
    DeTaxId = "DE_TAX_ID", true;
    /// Finland: personal identity code (check character, date).
    FiPersonalIdentityCode = "FI_PERSONAL_IDENTITY_CODE", true;
    /// Korea: resident registration number (date, checksum or context).
    KrRrn = "KR_RRN", true;
    /// India: Aadhaar (Verhoeff).
    InAadhaar = "IN_AADHAAR", true;
    /// India: permanent account number (holder's type letter).
    InPan = "IN_PAN", true;
    /// India: goods and services tax number (state, PAN, mod 36).
    InGstin = "IN_GSTIN", true;
    /// India: elector's photo identity card.
    InVoter = "IN_VOTER", true;
    /// India: passport.
    InPassport = "IN_PASSPORT", true;
    /// India: vehicle registration (state, or the BH series).
    InVehicle = "IN_VEHICLE_REGISTRATION", true;
    /// India: mobile numbers. Part of `PHONE_NUMBER` unless configured by this name.
    InMobile = "IN_MOBILE", false;
    /// India: UPI payment address.
    InUpi = "IN_UPI_ID", true;
    /// India: bank branch code.
    InIfsc = "IN_IFSC", true;
    /// India: health account number (Verhoeff or context).
    InAbha = "IN_ABHA", true;
}

/// Names that are understood, not recognised: no method that runs here finds them reliably.
pub const NOT_RECOGNISED: &[&str] = &["PERSON", "LOCATION", "NRP", "DATE_TIME", "ORGANIZATION"];

impl Entity {
    /// The kind of this name. `UPI_ID`, `ES_NIE` and `IN_PHONE` are understood too.
    #[must_use]
    pub fn of(name: &str) -> Option<Entity> {
        match name {
            "UPI_ID" => return Some(Entity::InUpi),
            "ES_NIE" => return Some(Entity::EsNif),
            "US_DEA" => return Some(Entity::MedicalLicense),
            _ => {}
        }
        Entity::ALL
            .iter()
            .copied()
            .find(|entity| entity.name() == name)
    }

    pub(crate) fn index(self) -> u32 {
        self as u32
    }

    pub(crate) fn at(index: u32) -> Option<Entity> {
        Entity::ALL.get(index as usize).copied()
    }
}
