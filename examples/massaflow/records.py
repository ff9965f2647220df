"""What a shop for fresh pasta by subscription would hold: made up, of the size and shape of the real thing.

Every record comes from the random generator it is given, so the same seed makes the same shop, byte for byte.
"""

from __future__ import annotations

from datetime import UTC, datetime
from random import Random
from string import ascii_letters, digits
from typing import Any

Record = dict[str, Any]

OPENED = datetime(2025, 3, 1, 8, 0, tzinfo=UTC)
TODAY = datetime(2026, 11, 23, 11, 0, tzinfo=UTC)
SIZES = {
    "settings": 1,
    "plans": 6,
    "products": 48,
    "coupons": 80,
    "campaigns": 120,
    "tickets": 420,
    "subscriptions": 1500,
    "deliveries": 1900,
    "payments": 1900,
    "orders": 2000,
    "users": 2000,
}

GIVEN = """Ana Beatriz Bruno Camila Carlos Daniela Diego Eduardo Elisa Felipe Fernanda Gabriel Helena Igor
Isabela João Juliana Larissa Lucas Luíza Marcelo Mariana Mateus Natália Otávio Patrícia Rafael Renata Sofia"""
FAMILY = """Almeida Araújo Barbosa Cardoso Carvalho Castro Conceição Costa Dias Fernandes Ferreira Gomes Lima
Lopes Magalhães Martins Melo Moreira Nascimento Oliveira Pereira Ribeiro Rocha Rodrigues Santos Silva Souza"""
PASTA = """Espaguete Fettuccine Nhoque Ravióli Lasanha Pappardelle Capeletti Tagliatelle Penne Canelone"""
CITIES = [("São Paulo", "SP"), ("Campinas", "SP"), ("Rio de Janeiro", "RJ"), ("Curitiba", "PR")]
CITIES += [("Belo Horizonte", "MG"), ("Porto Alegre", "RS"), ("Florianópolis", "SC"), ("Brasília", "DF")]
STREETS = ["Rua das Acácias", "Avenida Paulista", "Rua São João", "Travessa do Comércio", "Alameda Santos"]
STREETS += ["Rua Sete de Setembro", "Avenida Brasil", "Rua Augusta", "Praça da Sé", "Rua Líbero Badaró"]
FILLING = ["ao sugo", "de ricota e nozes", "de abóbora", "ao pesto", "de cogumelos", "de burrata"]
STATES = {
    "orders": ["pending", "paid", "in_preparation", "shipped", "delivered", "cancelled"],
    "payments": ["created", "authorized", "captured", "refunded", "failed"],
    "deliveries": ["scheduled", "collected", "on_the_way", "delivered", "returned"],
    "subscriptions": ["trial", "active", "paused", "past_due", "cancelled"],
    "tickets": ["open", "waiting", "answered", "closed"],
}
COMPLAINTS = ["A entrega chegou fora do horário combinado.", "Gostaria de trocar o sabor da próxima caixa."]
COMPLAINTS += ["O cupom não foi aplicado no pagamento.", "Posso pausar a assinatura em janeiro?", "Obrigada!"]


def stamp(moment: datetime) -> str:
    """As JavaScript's `toISOString` writes it."""
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03}Z"


def some_moment(random: Random) -> str:
    """Any moment since the shop opened."""
    return stamp(OPENED + (TODAY - OPENED) * random.random())


def identifier(random: Random, prefix: str) -> str:
    """As payment providers make them: a prefix and random letters and digits."""
    return f"{prefix}_" + "".join(random.choices(ascii_letters + digits, k=16))


def make_shop(random: Random) -> dict[str, list[Record]]:
    """All tables, by name."""
    return {name: [make_record(random, name, n) for n in range(count)] for name, count in SIZES.items()}


def make_record(random: Random, table: str, number: int) -> Record:
    """One record as it stands in the file."""
    created = some_moment(random)
    record: Record = {"id": identifier(random, table[:3]), "number": number + 1}
    record |= DETAILS[table](random)
    if table in STATES:
        record["status"] = random.choice(STATES[table])
    return record | {"version": 1, "createdAt": created, "updatedAt": created}


def user(random: Random) -> Record:
    """A customer."""
    given, family = word(random, GIVEN), word(random, FAMILY)
    return {
        "name": f"{given} {word(random, FAMILY)} {family}",
        "email": f"{given}.{family}{random.randrange(100, 9999)}@exemplo.com.br".lower(),
        "phone": f"+55 11 9{random.randrange(10**7, 10**8)}",
        "address": address(random),
        "preferences": {"newsletter": random.random() < 0.7, "whatsapp": random.random() < 0.4, "diet": None},
        "loyaltyPoints": random.randrange(5000),
        "lastLoginAt": some_moment(random),
    }


def address(random: Random) -> Record:
    """Where to deliver."""
    city, state = random.choice(CITIES)
    street = {"street": random.choice(STREETS), "number": random.randrange(1, 3000)}
    return street | {
        "city": city,
        "state": state,
        "zip": f"{random.randrange(10000, 99999)}-{random.randrange(1000):03}",
    }


def order(random: Random) -> Record:
    """A box or more, with what lies in it."""
    items = [item(random) for _ in range(random.randrange(1, 6))]
    total = reais(sum(round(item["quantity"] * item["unitPrice"] * 100) for item in items))
    bond = {"user": some(random, "users"), "shipTo": address(random), "items": items}
    return bond | {"total": total, "currency": "BRL", "notes": ""}


def item(random: Random) -> Record:
    """One line of an order."""
    name = f"{word(random, PASTA)} {random.choice(FILLING)}"
    return {
        "product": some(random, "products"),
        "name": name,
        "quantity": random.randrange(1, 4),
        "unitPrice": price(random),
    }


def word(random: Random, words: str) -> str:
    """Any one of them."""
    return random.choice(words.split())


def some(random: Random, table: str) -> int:
    """The number of any record of a table."""
    return random.randrange(SIZES[table]) + 1


def price(random: Random) -> float:
    """What something costs."""
    return reais(random.randrange(990, 8990, 10))


def reais(cents: int) -> float:
    """An amount as JavaScript writes it: without a fraction if it has none."""
    return cents // 100 if cents % 100 == 0 else cents / 100


def paid(random: Random) -> Record:
    """A payment."""
    card = {"brand": random.choice(["visa", "mastercard", "elo"]), "last4": f"{random.randrange(10000):04}"}
    return {"order": some(random, "orders"), "intent": identifier(random, "pi")} | {
        "amount": price(random),
        "card": card,
    }


def delivery(random: Random) -> Record:
    """One box on its way."""
    window = {"from": some_moment(random), "minutes": random.choice([60, 120, 240])}
    return {
        "order": some(random, "orders"),
        "courier": word(random, GIVEN),
        "window": window,
        "attempts": 0,
    }


def subscription(random: Random) -> Record:
    """A box every week or month."""
    bond = {"user": some(random, "users"), "plan": some(random, "plans")}
    return bond | {
        "stripeSubscription": identifier(random, "sub"),
        "renewsAt": some_moment(random),
        "skipped": [],
    }


def ticket(random: Random) -> Record:
    """A customer writes."""
    messages = [{"at": some_moment(random), "text": random.choice(COMPLAINTS)} for _ in range(random.randrange(1, 5))]
    return {"user": some(random, "users"), "subject": random.choice(COMPLAINTS), "messages": messages}


def product(random: Random) -> Record:
    """Something to eat."""
    name = f"{word(random, PASTA)} {random.choice(FILLING)}"
    return {
        "name": name,
        "price": price(random),
        "stock": random.randrange(400),
        "grams": random.choice([250, 400, 500]),
    }


def coupon(random: Random) -> Record:
    """A discount."""
    code = f"{word(random, PASTA).upper()}{random.randrange(5, 50)}"
    return {
        "code": code,
        "percent": random.randrange(5, 50),
        "used": random.randrange(300),
        "validUntil": some_moment(random),
    }


def campaign(random: Random) -> Record:
    """A letter to many."""
    return {
        "subject": f"Novidade: {word(random, PASTA)} {random.choice(FILLING)}",
        "sent": random.randrange(2000),
        "opened": 0,
    }


def plan(random: Random) -> Record:
    """What can be subscribed to."""
    return {
        "name": f"Caixa {word(random, PASTA)}",
        "price": price(random),
        "every": random.choice(["week", "month"]),
    }


def settings(random: Random) -> Record:
    """The one record of its table."""
    return {"shop": "MassaFlow", "currency": "BRL", "freeShippingFrom": price(random), "maintenance": False}


DETAILS = {
    "users": user,
    "orders": order,
    "payments": paid,
    "deliveries": delivery,
    "subscriptions": subscription,
    "tickets": ticket,
    "products": product,
    "coupons": coupon,
    "campaigns": campaign,
    "plans": plan,
    "settings": settings,
}
