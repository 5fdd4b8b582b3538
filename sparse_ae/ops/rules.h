/* The update of one number of a parameter by an optimiser, or of a vector of them. Comes after slices.h. */
#ifndef SPARSE_AE_RULES_H
#define SPARSE_AE_RULES_H

namespace sparse_ae {

/* As Simd, of one number. */
template <typename T> struct Scalar {
    typedef T vec;
    static T root(T x) { return std::sqrt(x); }
};

/* A rule updates a parameter x from its gradient d, together with STATE (0 to 2) numbers of state; V is Simd or Scalar.
   It is constructed from NUMBERS numbers, the first of which is the rate.

   SGD: x -= rate d */
template <typename T> struct Sgd {
    enum { STATE = 0, NUMBERS = 1 };
    T rate;
    explicit Sgd(const double *numbers) : rate((T)numbers[0]) {}
    template <typename V>
    void move(typename V::vec &x, typename V::vec &, typename V::vec &, const typename V::vec &d) const
    {
        x -= rate * d;
    }
};

/* Adagrad: squares += d^2, x -= rate d / sqrt(squares + epsilon) */
template <typename T> struct Adagrad {
    enum { STATE = 1, NUMBERS = 2 };
    T rate, epsilon;
    explicit Adagrad(const double *numbers) : rate((T)numbers[0]), epsilon((T)numbers[1]) {}
    template <typename V>
    void move(typename V::vec &x, typename V::vec &squares, typename V::vec &, const typename V::vec &d) const
    {
        squares += d * d;
        x -= rate * d / V::root(squares + epsilon);
    }
};

/* Adam: means = beta1 means + (1 - beta1) d, squares likewise of d^2, x -= rate means / (sqrt(squares) + epsilon) */
template <typename T> struct Adam {
    enum { STATE = 2, NUMBERS = 4 };
    T rate, beta1, beta2, epsilon, rest1, rest2;
    explicit Adam(const double *numbers)
        : rate((T)numbers[0]), beta1((T)numbers[1]), beta2((T)numbers[2]), epsilon((T)numbers[3]),
          rest1((T)(1 - numbers[1])), rest2((T)(1 - numbers[2]))
    {
    }
    template <typename V>
    void move(typename V::vec &x, typename V::vec &means, typename V::vec &squares, const typename V::vec &d) const
    {
        means = beta1 * means + rest1 * d;
        squares = beta2 * squares + rest2 * (d * d);
        x -= rate * means / (V::root(squares) + epsilon);
    }
};

/* Where one parameter's gradient is written, or its update: its values and state, and the constants of the update. */
template <typename T> struct Output {
    T *values, *state[2];  /* of the parameter's shape */
    double decay;
    const double *numbers;  /* of the rule */
};

/* A parameter that a rule updates, with its state. */
template <typename T, typename Rule> struct Moved {
    T *values, *state[2];
    Rule rule;

    explicit Moved(const Output<T> &to) : values(to.values), rule(to.numbers)
    {
        for (int i = 0; i < 2; i++) state[i] = to.state[i];
    }
    /* From one number on; a local copy, so that no store can change its pointers. */
    Moved from(npy_intp first) const
    {
        Moved here(*this);
        here.values += first;
        for (int i = 0; i < Rule::STATE; i++) here.state[i] += first;
        return here;
    }
    void move(npy_intp i, T d) const
    {
        T first = Rule::STATE > 0 ? state[0][i] : T(0), second = Rule::STATE > 1 ? state[1][i] : T(0);
        rule.template move<Scalar<T> >(values[i], first, second, d);
        if (Rule::STATE > 0) state[0][i] = first;
        if (Rule::STATE > 1) state[1][i] = second;
    }
};

}  // namespace sparse_ae

#endif
